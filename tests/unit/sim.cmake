gb_test(test_clip LINK sim)
gb_test(test_sim_offer LINK sim sdp)
gb_test(test_hostile LINK sim)
