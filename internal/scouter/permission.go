package scouter

import (
	"slices"
	"strings"

	"github.com/driftmesh/driftmesh/internal/fault"
)

// Words of Scouter's permissions: read:space, write:space, delete:space, with all for
// every space; and the group of administrators.
const (
	readWord   = "read"
	writeWord  = "write"
	deleteWord = "delete"
	everywhere = "all"
	admins     = "admin"
	others     = "user"
)

// UsualPermissions are those of a user of Scouter's for whom none are named.
func UsualPermissions() []string { return []string{"read:all", "write:all"} }

// PermissionsOf are the permissions and groups that a role of the mesh comes to, for
// the spaces that it is for, none being all.
func PermissionsOf(role string, spaces []string) (permissions, groups []string) {
	if len(spaces) == 0 {
		spaces = []string{everywhere}
	}
	permissions, groups = []string{}, []string{others}
	var words []string
	switch role {
	case "admin":
		words, groups = []string{readWord, writeWord, deleteWord}, []string{admins}
	case "operator", "editor":
		words = []string{readWord, writeWord}
	case "viewer":
		words = []string{readWord}
	}
	for _, word := range words {
		for _, space := range spaces {
			permissions = append(permissions, word+":"+space)
		}
	}
	return permissions, groups
}

// RoleOf is the role that permissions and groups of Scouter's come to, and the spaces
// that it is for, none being all. A user of the mesh may do the same in all its spaces:
// fault.Invalid is given for permissions of which none of ours are exactly the same.
func RoleOf(permissions, groups []string) (role string, spaces []string, err error) {
	by := map[string][]string{}
	for _, p := range permissions {
		word, space, ok := strings.Cut(p, ":")
		if !ok {
			space = everywhere // as older clients say it
		}
		if space == "" || !slices.Contains([]string{readWord, writeWord, deleteWord}, word) {
			return "", nil, errPermission("%.80q is none of read:SPACE, write:SPACE and delete:SPACE", p)
		}
		if !slices.Contains(by[word], space) {
			by[word] = append(by[word], space)
		}
	}
	for word := range by {
		slices.Sort(by[word])
		if slices.Contains(by[word], everywhere) {
			by[word] = []string{everywhere}
		}
	}
	read, write := by[readWord], by[writeWord]
	switch {
	case slices.Contains(groups, admins):
		return "admin", nil, nil
	case len(read) == 0:
		return "", nil, errPermission("a user here reads whatever it may do anything with: want read:SPACE")
	case len(write) > 0 && !slices.Equal(read, write):
		return "", nil, errPermission("a user here may do the same in all its spaces: want read: and write: of the same ones")
	case len(by[deleteWord]) > 0 && len(write) == 0:
		return "", nil, errPermission("who may only read deletes nothing")
	}
	if role = "viewer"; len(write) > 0 {
		role = "editor"
	}
	if read[0] == everywhere {
		return role, nil, nil
	}
	return role, read, nil
}

func errPermission(format string, args ...any) error {
	return fault.Invalid.New("permissions: "+format, args...).WithReason("SCOUTER_PERMISSIONS")
}
