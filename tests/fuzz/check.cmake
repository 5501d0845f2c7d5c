gb_fuzz(fuzz_check LINK check)
