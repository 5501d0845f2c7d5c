gb_fuzz(fuzz_sdp LINK sdp)
