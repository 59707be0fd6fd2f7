package querytreepb_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/pandometrics/pando/querytree/querytreepb"
)

// recorded is the schema as it was first released. Programs with it are out
// there: it is never recorded anew.
const recorded = "testdata/tree-v1.binpb"

func recordedSchema(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	b, err := os.ReadFile(recorded)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(b, set); err != nil {
		t.Fatal(err)
	}
	return set
}

func fileOf(t *testing.T, set *descriptorpb.FileDescriptorSet) protoreflect.FileDescriptor {
	t.Helper()
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	var file protoreflect.FileDescriptor
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		file = f
		return true
	})
	return file
}

// elements are the messages, fields, enum values and methods of a schema, by name,
// with all of each that a peer relies on.
type elements map[protoreflect.FullName]string

func elementsOf(f protoreflect.FileDescriptor) elements {
	out := elements{}
	out.messages(f.Messages())
	out.enums(f.Enums())
	for i := range f.Services().Len() {
		methods := f.Services().Get(i).Methods()
		for j := range methods.Len() {
			m := methods.Get(j)
			out[m.FullName()] = fmt.Sprintf("rpc(%s stream %v) returns (%s stream %v)",
				m.Input().FullName(), m.IsStreamingClient(), m.Output().FullName(), m.IsStreamingServer())
		}
	}
	return out
}

func (e elements) messages(ms protoreflect.MessageDescriptors) {
	for i := range ms.Len() {
		m := ms.Get(i)
		e[m.FullName()] = "message"
		e.messages(m.Messages())
		e.enums(m.Enums())
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			typ := f.Kind().String()
			if f.Message() != nil {
				typ = string(f.Message().FullName())
			}
			if f.Enum() != nil {
				typ = string(f.Enum().FullName())
			}
			oneof := ""
			if o := f.ContainingOneof(); o != nil {
				oneof = " in " + string(o.Name())
			}
			e[f.FullName()] = fmt.Sprintf("field %d: %s %s packed %v%s", f.Number(), f.Cardinality(), typ, f.IsPacked(), oneof)
		}
	}
}

func (e elements) enums(es protoreflect.EnumDescriptors) {
	for i := range es.Len() {
		values := es.Get(i).Values()
		for j := range values.Len() {
			v := values.Get(j)
			e[es.Get(i).FullName().Append(v.Name())] = fmt.Sprintf("value %d", v.Number())
		}
	}
}

// breaks lists what a schema took away from an older one or changed of it.
func breaks(older, newer protoreflect.FileDescriptor) []string {
	var out []string
	now := elementsOf(newer)
	was := elementsOf(older)
	for _, name := range slices.Sorted(maps.Keys(was)) {
		switch what, ok := now[name]; {
		case !ok:
			out = append(out, fmt.Sprintf("%s is gone", name))
		case what != was[name]:
			out = append(out, fmt.Sprintf("%s was %q, is %q", name, was[name], what))
		}
	}
	return out
}

// Whatever was released stays as it was: programs of any version must
// understand one another.
func TestSchemaOnlyGrows(t *testing.T) {
	for _, b := range breaks(fileOf(t, recordedSchema(t)), querytreepb.File_tree_proto) {
		t.Error(b)
	}
	if added := len(elementsOf(querytreepb.File_tree_proto)) - len(elementsOf(fileOf(t, recordedSchema(t)))); added < 1 {
		t.Errorf("%d elements more than the first schema: is it the right one?", added)
	}
}

// The check above finds each kind of break.
func TestSchemaBreaksAreFound(t *testing.T) {
	message := func(set *descriptorpb.FileDescriptorSet, name string) *descriptorpb.DescriptorProto {
		ms := set.File[0].MessageType
		return ms[slices.IndexFunc(ms, func(m *descriptorpb.DescriptorProto) bool { return m.GetName() == name })]
	}
	for want, change := range map[string]func(*descriptorpb.FileDescriptorSet){
		"ExecRequest.query is gone": func(s *descriptorpb.FileDescriptorSet) {
			m := message(s, "ExecRequest")
			m.Field = slices.Delete(m.Field, 1, 2)
		},
		"ExecRequest.query was \"field 2": func(s *descriptorpb.FileDescriptorSet) { message(s, "ExecRequest").Field[1].Number = proto.Int32(99) },
		"is \"field 2: optional string": func(s *descriptorpb.FileDescriptorSet) {
			message(s, "ExecRequest").Field[1].Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		},
		"is \"field 2: repeated bytes": func(s *descriptorpb.FileDescriptorSet) {
			message(s, "ExecRequest").Field[1].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		},
		"Error.Kind.CANCELED was": func(s *descriptorpb.FileDescriptorSet) {
			message(s, "Error").EnumType[0].Value[1].Number = proto.Int32(99)
		},
		"Matcher.Type.REGEXP is gone": func(s *descriptorpb.FileDescriptorSet) {
			message(s, "Matcher").EnumType[0].Value[2].Name = proto.String("OTHER")
		},
		"Tree.Exec was": func(s *descriptorpb.FileDescriptorSet) {
			s.File[0].Service[0].Method[0].ServerStreaming = proto.Bool(false)
		},
		"Tree.Select is gone":                     func(s *descriptorpb.FileDescriptorSet) { s.File[0].Service[0].Method[1].Name = proto.String("Other") },
		"Up.hint was \"field 3: optional pando.q": func(s *descriptorpb.FileDescriptorSet) { message(s, "Up").Field[2].OneofIndex = nil },
	} {
		set := recordedSchema(t)
		change(set)
		got := strings.Join(breaks(fileOf(t, recordedSchema(t)), fileOf(t, set)), "\n")
		if !strings.Contains(got, want) {
			t.Errorf("want a line with %q, got:\n%s", want, got)
		}
	}
}
