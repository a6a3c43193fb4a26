package embedded

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// configFile is where the server-level settings stand, usersFile who may do
// what, both in the data directory.
const (
	configFile = "driftmesh-engine.xml"
	usersFile  = "driftmesh-users.xml"
)

// GuestRole is the role that can be taken, with the URL parameter role, by
// whoever runs statements of others. It may read what is in databases whose
// names begin with GuestPrefix, and nothing else that asks for a grant.
const (
	GuestRole   = "driftmesh_sql"
	GuestPrefix = "sql_"
)

// usersXML is the engine's one user, who has all rights until a session takes
// the role of a guest.
const usersXML = `<clickhouse>
<profiles><default></default></profiles>
<quotas><default></default></quotas>
<roles>
<` + GuestRole + `><grants><query>GRANT SELECT ON ` + GuestPrefix + `*.*</query></grants></` + GuestRole + `>
<driftmesh><grants><query>GRANT ALL ON *.*</query></grants></driftmesh>
</roles>
<users><` + userName + `>
<password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<grants><query>GRANT driftmesh, ` + GuestRole + `</query></grants>
</` + userName + `></users>
</clickhouse>
`

// serverSettings keep the engine small beside the services it serves. Its own
// defaults are those of a machine which belongs to it alone: gigabytes of
// caches, dozens of threads. BenchmarkInsert of package clickhouse shows what
// they do.
func serverSettings(l Limits) map[string]string {
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	merges := int64(l.MergeThreads)
	return map[string]string{
		"max_server_memory_usage":                  n(l.Memory),
		"merges_mutations_memory_usage_soft_limit": n(l.Memory / 2),

		"mark_cache_size":                n(l.Cache / 2),
		"primary_index_cache_size":       n(l.Cache / 4),
		"index_mark_cache_size":          n(l.Cache / 8),
		"query_condition_cache_size":     n(l.Cache / 8),
		"uncompressed_cache_size":        "0",
		"compiled_expression_cache_size": "1048576",
		"mmap_cache_size":                "16",

		"background_pool_size":                          n(merges),
		"background_merges_mutations_concurrency_ratio": "2",
		"background_schedule_pool_size":                 "2",
		"background_common_pool_size":                   "1",
		"max_active_parts_loading_thread_pool_size":     "2",
		"max_outdated_parts_loading_thread_pool_size":   "1",
		"max_parts_cleaning_thread_pool_size":           "2",
		"max_thread_pool_free_size":                     "16",
		// The engine refuses tables that want more free merge slots than the
		// pool has.
		"merge_tree.number_of_free_entries_in_pool_to_lower_max_size_of_merge":           n(merges),
		"merge_tree.number_of_free_entries_in_pool_to_execute_mutation":                  n(merges),
		"merge_tree.number_of_free_entries_in_pool_to_execute_optimize_entire_partition": n(merges),

		// Parts of up to 100 MB keep all columns in one file: an insert of 20 k
		// spans costs the engine a third less than with a file per column.
		"merge_tree.min_bytes_for_wide_part": "100000000",
		// Write buffers grow as needed, not 1 MiB for every column of a part.
		"merge_tree.min_columns_to_activate_adaptive_write_buffer": "1",
	}
}

// sessionSettings hold for every statement unless the statement says otherwise.
func sessionSettings(l Limits) map[string]string {
	return map[string]string{
		"max_threads":        strconv.Itoa(l.Threads),
		"max_insert_threads": "1",
		// The engine gives a statement one thread only where less than a gigabyte
		// for each is free, which in one of this size is always.
		"max_threads_min_free_memory_per_thread": "0",
		"max_memory_usage":                       strconv.FormatInt(l.QueryMemory, 10),
		// Rows of spans and observations are wide: blocks of a quarter of the
		// default take a quarter of the memory, in every stage of a statement.
		"max_block_size": "16384",
		// A block is stored when its insert is answered, not some time after.
		"async_insert": "0",
		// The library takes a bare expression for a SELECT; a server does not.
		"implicit_select": "0",
		// Compiling an expression takes longer than our queries do.
		"compile_expressions":                "0",
		"compile_aggregate_expressions":      "0",
		"compile_sort_description":           "0",
		"log_queries":                        "0",
		"query_profiler_real_time_period_ns": "0",
		"query_profiler_cpu_time_period_ns":  "0",
	}
}

// engineArgs are the arguments every session is opened with. The first session
// also reads the configuration file that is written here.
func engineArgs(path string, limits Limits) ([]string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve engine data directory: %w", err)
	}
	file := filepath.Join(abs, configFile)
	users := filepath.Join(abs, usersFile)
	server := serverSettings(limits)
	server["user_directories.users_xml.path"] = users
	for name, text := range map[string]string{file: configXML(server), users: usersXML} {
		if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
			return nil, fmt.Errorf("write engine configuration: %w", err)
		}
	}
	args := []string{"--path=" + abs, "--config-file=" + file}
	for name, value := range sessionSettings(limits) {
		args = append(args, "--"+name+"="+value)
	}
	slices.Sort(args)
	return args, nil
}

// configXML writes settings as ClickHouse's configuration: a dot in a name is
// one element within another.
func configXML(settings map[string]string) string {
	var b strings.Builder
	b.WriteString("<clickhouse>\n")
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		path := strings.Split(name, ".")
		for _, element := range path {
			fmt.Fprintf(&b, "<%s>", element)
		}
		b.WriteString(settings[name])
		for i := len(path) - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "</%s>", path[i])
		}
		b.WriteByte('\n')
	}
	b.WriteString("</clickhouse>\n")
	return b.String()
}
