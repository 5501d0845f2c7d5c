gb_test(test_sdp LINK sdp)
