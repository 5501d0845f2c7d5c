gb_fuzz(fuzz_worker LINK media)
