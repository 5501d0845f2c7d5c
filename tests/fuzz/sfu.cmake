gb_fuzz(fuzz_sfu LINK sfu)
