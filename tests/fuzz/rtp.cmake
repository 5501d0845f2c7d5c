foreach(t rtp rtcp video rtx transport_cc rewrite red)
    gb_fuzz(fuzz_${t} LINK rtp)
endforeach()
