gb_test(test_supervisor LINK supervisor)
