package kv

import "bytes"

// sweepStep is the number of changes that one operation sweeps at most: a few
// milliseconds of work.
const sweepStep = 1024

// compact moves the compacted revision and begins to sweep. What is left is
// swept by the writes that follow, two changes for each that they make, so
// that the backlog shrinks faster than history grows; an operation's work
// stays bounded, and no client has to come back for it.
func (s *store) compact(op Compact) (Reply, Code) {
	switch {
	case op.Revision <= s.compacted:
		return nil, CodeCompacted
	case op.Revision > s.revision:
		return nil, CodeFutureRevision
	}
	s.compacted = op.Revision
	s.sweep(sweepStep)
	return CompactReply{}, CodeOK
}

// sweep goes over at most n changes below the compacted revision, the oldest
// first. Of the compacted revision itself everything is kept, for those who
// watch from there on; what it replaced goes with the next compaction.
func (s *store) sweep(n int) {
	if s.swept.revision >= s.compacted {
		return
	}
	versions := s.unswept(n)
	for _, version := range versions {
		s.sweepOne(version)
	}
	s.swept = position{revision: s.compacted}
	if len(versions) == n {
		_, revision, sub, _ := splitVersion(versions[n-1])
		s.swept = position{revision, sub + 1}
	}
}

// unswept are the version rows' keys of the first n changes to sweep.
func (s *store) unswept(n int) (versions [][]byte) {
	lo, hi := changeKey(s.swept.revision, s.swept.sub), changeKey(s.compacted, 0)
	s.rows.Scan(lo, hi, func(row, value []byte) bool {
		revision, sub := splitChangeKey(row)
		kind, key, _ := splitChange(value)
		versions = append(versions, versionKey(stem(key), revision, sub, kind))
		return len(versions) < n
	})
	return versions
}

// sweepOne removes what the change that made a version row has replaced, which
// is at most one older version, since what came before has been swept; the
// version itself if it is a tombstone; and the change row, unless the value
// stands there: then it goes with the version.
func (s *store) sweepOne(version []byte) {
	stem, revision, sub, kind := splitVersion(version)
	var old [][]byte
	s.rows.Scan(append(version, 0), past(bytes.Clone(stem)), func(key, _ []byte) bool {
		old = append(old, bytes.Clone(key))
		return true
	})
	for _, key := range old {
		s.rows.Delete(key)
		if _, revision, sub, kind := splitVersion(key); kind == kindFar {
			s.rows.Delete(changeKey(revision, sub))
		}
	}
	if kind == kindTombstone {
		s.rows.Delete(version)
	}
	if kind != kindFar {
		s.rows.Delete(changeKey(revision, sub))
	}
}
