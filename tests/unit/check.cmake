gb_test(test_examine LINK check)
gb_test(test_check_session LINK check)
