gb_test(test_srtp LINK srtp)
