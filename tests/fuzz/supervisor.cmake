gb_fuzz(fuzz_link LINK supervisor)
