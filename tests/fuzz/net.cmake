gb_fuzz(fuzz_net LINK net)
