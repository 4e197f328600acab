// Command csi_spec writes the FileDescriptorProto of the published CSI Go module to standard
// output, for tests/unit/test_csi_proto.py to hold proto/csi.proto against.
package main

import (
	"fmt"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

func main() {
	encoded, err := proto.Marshal(protodesc.ToFileDescriptorProto(csi.File_csi_proto))
	if err == nil {
		_, err = os.Stdout.Write(encoded)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
