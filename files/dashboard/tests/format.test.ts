import { expect, test } from 'vitest'
import { bytes, lasting, percent, playTime } from '@/lib/format'

const plain = (text: string) => text.replace(/\s/g, ' ')

test('bytes are shown in the unit that people use for disks', () => {
  expect(plain(bytes(14_600_000_000, 'en-GB'))).toBe('14.6 GB')
  expect(plain(bytes(14_600_000_000, 'id-ID'))).toBe('14,6 GB')
  expect(plain(bytes(999_700, 'en-GB'))).toBe('1 MB')
  expect(plain(bytes(0, 'en-GB'))).toBe('0 bytes')
})

test('a share has no decimals', () => {
  expect(plain(percent(91.4, 'en-GB'))).toBe('91%')
})

test('the length of a clip reads as in a player', () => {
  expect([7.4, 754, 3723].map(playTime)).toEqual(['0:07', '12:34', '1:02:03'])
})

test('the length of a gap names two units at the most', () => {
  expect(plain(lasting(7505, 'id-ID'))).toBe('2 jam 5 menit')
  expect(plain(lasting(3600, 'en-GB'))).toBe('1 hour')
  expect(plain(lasting(0.2, 'en-GB'))).toBe('0 seconds')
})
