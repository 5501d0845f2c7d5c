gb_test(test_net LINK net LABEL integration)
