foreach(t rtp rtcp video vp9 dependency rtx transport_cc rewrite red)
    gb_fuzz(fuzz_${t} LINK rtp)
endforeach()
