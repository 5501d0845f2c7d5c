gb_test(test_examine LINK check)
