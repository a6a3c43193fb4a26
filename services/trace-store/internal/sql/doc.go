// Package sql runs SELECT statements that users wrote, on behalf of one tenant
// and against that tenant's rows alone.
//
// Nothing of a statement is trusted. Four walls stand behind one another
// (docs/adr/016):
//
//   - ClickHouse's own parser writes the statement anew, without comments and as
//     one statement or none, and check refuses what is no plain SELECT: other
//     databases, table functions, functions that look outside of the rows,
//     settings, formats.
//   - The session takes a role that may read the views in one database, and
//     nothing else: ClickHouse refuses the rest.
//   - The views show the rows of the tenant whose token the session was given,
//     decided before anything the statement computes. A statement knows no other
//     tenant's token. The session is readonly.
//   - Rows, bytes, memory, time and what is read are bounded, and of an error
//     that came while rows were read only its name is told.
package sql
