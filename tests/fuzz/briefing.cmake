gb_fuzz(fuzz_briefing LINK briefing)
gb_fuzz(fuzz_event LINK briefing)
