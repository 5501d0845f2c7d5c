gb_fuzz(fuzz_config LINK control supervisor)
gb_fuzz(fuzz_control LINK control)
