gb_fuzz(fuzz_net LINK net)
gb_fuzz(fuzz_frame LINK net)
