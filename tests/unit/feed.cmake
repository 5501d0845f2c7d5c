gb_test(test_feed LINK base)
