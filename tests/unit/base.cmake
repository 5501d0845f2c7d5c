gb_test(test_base LINK base)
gb_test(test_allowance LINK base)
gb_test(test_log_limit LINK base)
gb_test(test_steady LINK base)
