import { describe, expect, test } from 'vitest'
import { groupByDay, joinClips, mergeTimeline } from '@/lib/timeline'
import { clip, gap } from './samples'

describe('clips and gaps on one time line', () => {
  const clips = [clip(2, '2026-11-22T03:00:00Z'), clip(1, '2026-11-22T01:00:00Z')]

  test('a gap stands between the clips it separates', () => {
    const rows = mergeTimeline(clips, [gap('2026-11-22T02:00:00Z', '2026-11-22T02:10:00Z')], true)
    expect(rows.map(row => row.at.slice(11, 13))).toEqual(['03', '02', '01'])
    expect(rows[1]?.kind).toBe('gap')
  })
  test('gaps older than the oldest loaded clip wait until older clips are loaded', () => {
    const old = gap('2026-11-21T01:00:00Z', '2026-11-21T02:00:00Z')
    expect(mergeTimeline(clips, [old], false).some(row => row.kind === 'gap')).toBe(false)
    expect(mergeTimeline(clips, [old], true).at(-1)?.kind).toBe('gap')
  })
  test('a gap that still goes on is always shown', () => {
    const rows = mergeTimeline(clips, [gap('2026-11-21T01:00:00Z', null)], false)
    expect(rows.filter(row => row.kind === 'gap')).toHaveLength(1)
  })
  test('gaps are shown where there is no clip at all', () => {
    expect(mergeTimeline([], [gap('2026-11-22T02:00:00Z', '2026-11-22T02:10:00Z')], true)).toHaveLength(1)
  })
  test('offsets are understood, not compared as text', () => {
    const rows = mergeTimeline([clip(1, '2026-11-22T09:00:00+07:00'), clip(2, '2026-11-22T03:00:00Z')], [], true)
    expect(rows.map(row => row.key)).toEqual(['clip-2', 'clip-1'])
  })
})

test('rows come under the day of the site', () => {
  const rows = mergeTimeline([clip(2, '2026-11-21T17:30:00Z'), clip(1, '2026-11-21T16:30:00Z')], [], true)
  expect(groupByDay(rows, 'Asia/Jakarta').map(group => group.day)).toEqual(['2026-11-22', '2026-11-21'])
})

test('a newer page is put before what is known, each clip once', () => {
  const known = [clip(2, '2026-11-22T02:00:00Z'), clip(1, '2026-11-22T01:00:00Z')]
  const fresh = [clip(3, '2026-11-22T03:00:00Z'), clip(2, '2026-11-22T02:00:00Z', { importance: 'pinned' })]
  const joined = joinClips(fresh, known)
  expect(joined.map(one => one.id)).toEqual([3, 2, 1])
  expect(joined[1]?.importance).toBe('pinned')
})
