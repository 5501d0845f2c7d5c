gb_test(test_frame LINK net)
