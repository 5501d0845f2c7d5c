gb_fuzz(fuzz_sfu LINK sfu)
gb_fuzz(fuzz_remb LINK sfu)
