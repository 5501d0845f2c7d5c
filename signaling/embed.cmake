# A file as a C string: cmake -DIN=… -DOUT=… -P embed.cmake
file(READ ${IN} hex HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "#include \"signaling/schema.h\"\nconst char schema_messages[] = {${bytes}0};\n")
