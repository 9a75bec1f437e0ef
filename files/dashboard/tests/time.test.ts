import { describe, expect, test } from 'vitest'
import { ago, clock, dayBounds, dayOf, fromLocal, shiftDay, utc, zoneName } from '@/lib/time'

describe('a day at the site', () => {
  test('begins at midnight of its zone, not of UTC', () => {
    expect(dayBounds('2026-11-22', 'Asia/Jakarta')).toEqual({ from: '2026-11-21T17:00:00.000Z', to: '2026-11-22T17:00:00.000Z' })
  })
  test('has 23 hours when the clocks go forward', () => {
    const { from, to } = dayBounds('2026-03-29', 'Europe/Berlin')
    expect((Date.parse(to) - Date.parse(from)) / 3_600_000).toBe(23)
  })
  test('is the one that the wall clock there shows', () => {
    expect(dayOf('2026-11-21T18:30:00Z', 'Asia/Jakarta')).toBe('2026-11-22')
    expect(dayOf('2026-11-21T18:30:00Z', 'UTC')).toBe('2026-11-21')
  })
  test('after the last of a month is the first of the next', () => {
    expect(shiftDay('2026-02-28', 1)).toBe('2026-03-01')
    expect(shiftDay('2026-01-01', -1)).toBe('2025-12-31')
  })
})

test('a time typed in at the site becomes UTC', () => {
  expect(fromLocal('2026-11-22T08:15', 'Asia/Makassar')).toBe('2026-11-22T00:15:00.000Z')
})

test('the clock shows 24 hours with colons, midnight as 00', () => {
  expect(clock('2026-11-22T17:00:05.900Z', 'Asia/Jakarta')).toBe('00:00:05')
})

test('a log line can be compared in UTC', () => {
  expect(utc('2026-11-22T08:14:05.123+07:00')).toBe('2026-11-22 01:14:05 UTC')
})

test('zones of Indonesia keep their own names in English', () => {
  expect(zoneName('Asia/Jakarta', 'id-ID')).toBe('WIB')
  expect(zoneName('Asia/Makassar', 'en-GB')).toBe('WITA')
})

describe('how long ago', () => {
  const now = Date.parse('2026-11-22T03:00:00Z')
  test('is said in the largest whole unit', () => {
    expect(ago('2026-11-22T02:57:01Z', now, 'id')).toBe('2 menit yang lalu')
    expect(ago('2026-11-22T00:59:00Z', now, 'en')).toBe('2 hours ago')
  })
  test('is never in the future, though the clocks of node and phone differ', () => {
    expect(ago('2026-11-22T03:00:09Z', now, 'en')).toBe('now')
  })
})
