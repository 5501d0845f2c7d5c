gb_fuzz(fuzz_wish LINK wish)
