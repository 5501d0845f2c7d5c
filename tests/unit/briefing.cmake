gb_test(test_briefing LINK briefing)
gb_test(test_briefing_log LINK briefing)
