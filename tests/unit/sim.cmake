gb_test(test_clip LINK sim)
