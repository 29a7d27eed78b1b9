// Says hello, shows a file (`read PATH`), or grows its heap and checks it (`heap MIB`).
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
)

func main() {
	if err := act(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func act(args []string) error {
	switch {
	case len(args) == 0:
		fmt.Println("hello from a sealed component")
	case len(args) == 2 && args[0] == "read":
		content, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(content)
		return err
	case len(args) == 2 && args[0] == "heap":
		mib, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return heap(mib)
	default:
		return fmt.Errorf("unknown operation %q", args)
	}
	return nil
}

// A size that leaves no hole in the heap, the pages where it starts to grow included.
const chunkSize = 4096

// Go extends its memory at the end. The host may have extended it since, so calls come in between.
func heap(mib int) error {
	chunks := make([][]byte, mib<<20/chunkSize)
	for i := range chunks {
		chunks[i] = make([]byte, chunkSize)
		for j := range chunks[i] {
			chunks[i][j] = content(i, j)
		}
		if i%256 == 0 {
			runtime.GC()
			if _, err := os.Stdout.Stat(); err != nil {
				return err
			}
		}
	}
	for i, chunk := range chunks {
		for j, found := range chunk {
			if found != content(i, j) {
				return fmt.Errorf("chunk %d has %d at %d, not %d", i, found, j, content(i, j))
			}
		}
	}
	fmt.Println("whole:", mib, "MiB")
	return nil
}

func content(chunk, at int) byte {
	return byte(chunk*31 + at*7 + at>>8)
}
