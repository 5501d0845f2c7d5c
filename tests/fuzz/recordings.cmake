gb_fuzz(fuzz_feed LINK base)
gb_fuzz(fuzz_assembler LINK recordings)
