foreach(t rtp rtcp video rtx transport_cc rewrite)
    gb_fuzz(fuzz_${t} LINK rtp)
endforeach()
