gb_test(test_base LINK base)
