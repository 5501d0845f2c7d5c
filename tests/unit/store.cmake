gb_test(test_store LINK store)
