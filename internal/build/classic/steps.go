package classic

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// instruction is one of a Dockerfile.
type instruction struct {
	text   string
	stage  int    // from 0; -1 before the first
	name   string // of the stage; "" if it has none
	layer  bool   // BuildKit has a vertex for it
	isFrom bool
}

// instructions reads a Dockerfile; what cannot be read is for BuildKit to say.
func instructions(dockerfile []byte) []instruction {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil
	}
	var list []instruction
	stage, name := -1, ""
	for _, node := range parsed.AST.Children {
		i := instruction{text: oneLine(node.Original)}
		switch strings.ToUpper(node.Value) {
		case "FROM":
			stage, name = stage+1, stageName(node)
			i.layer, i.isFrom = true, true
		case "RUN", "COPY", "ADD", "WORKDIR":
			i.layer = true
		}
		i.stage, i.name = stage, name
		list = append(list, i)
	}
	return list
}

func stageName(from *parser.Node) string {
	var words []string
	for n := from.Next; n != nil; n = n.Next {
		words = append(words, n.Value)
	}
	if len(words) == 3 && strings.EqualFold(words[1], "as") {
		return strings.ToLower(words[2])
	}
	return ""
}

// oneLine joins what was continued; runs of spaces are one.
func oneLine(text string) string {
	var words []string
	for _, line := range strings.Split(text, "\n") {
		words = append(words, strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(line), `\`)))
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// vertexName is the name of a vertex taken apart: "[build 2/3] RUN make".
type vertexName struct {
	stage        string // its name, or "stage-1"; "" if there is only one
	index, total int
	text         string
}

// parseName takes a name apart; ok is false for what is no step of a Dockerfile.
func parseName(name string) (v vertexName, ok bool) {
	rest, ok := strings.CutPrefix(name, "[")
	if !ok {
		return v, false
	}
	label, text, ok := strings.Cut(rest, "] ")
	if !ok {
		return v, false
	}
	words := strings.Fields(label)
	if len(words) == 0 {
		return v, false
	}
	if n, err := fmt.Sscanf(words[len(words)-1], "%d/%d", &v.index, &v.total); n != 2 || err != nil {
		return v, false
	}
	if len(words) > 1 {
		v.stage = words[len(words)-2]
	}
	v.text = text
	return v, true
}

// find returns which instruction a vertex is of, or -1. Instructions that come
// from the base (ONBUILD) precede those of the file.
func find(list []instruction, v vertexName) int {
	var layers []int
	for i, in := range list {
		if in.stage < 0 || !in.layer || !in.ofStage(v.stage) {
			continue
		}
		if in.isFrom && (len(layers) > 0) {
			break
		}
		layers = append(layers, i)
	}
	if len(layers) == 0 {
		return -1
	}
	if v.index == 1 && strings.HasPrefix(strings.ToUpper(v.text), "FROM ") {
		return layers[0]
	}
	own := layers[1:] // without FROM
	at := len(own) - (v.total - v.index) - 1
	if at < 0 || at >= len(own) {
		return -1
	}
	return own[at]
}

func (i instruction) ofStage(label string) bool {
	return label == "" || label == i.name || i.name == "" && label == fmt.Sprintf("stage-%d", i.stage)
}
