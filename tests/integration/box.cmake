gb_test(test_box LINK box LABEL integration)
