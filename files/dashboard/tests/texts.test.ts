import { expect, test } from 'vitest'
import { pickLocale } from '@/i18n'
import en from '@/i18n/en.json'
import id from '@/i18n/id.json'
import { nextWait } from '@/lib/back_off'
import { highlight } from '@/lib/highlight'
import { rangeBounds } from '@/lib/log_range'
import { atLeast } from '@/lib/looks'

const keysOf = (texts: object, before = ''): string[] =>
  Object.entries(texts).flatMap(([key, value]) => (typeof value === 'object' ? keysOf(value, `${before}${key}.`) : [before + key]))

const placesIn = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort()
const textAt = (texts: unknown, key: string) => key.split('.').reduce((part, name) => (part as Record<string, unknown>)[name], texts) as string

test('both languages have the same texts with the same places for values', () => {
  expect(keysOf(id)).toEqual(keysOf(en))
  for (const key of keysOf(id)) expect([key, placesIn(textAt(id, key))]).toEqual([key, placesIn(textAt(en, key))])
})

test('every text is used by a page', () => {
  const sources = Object.values(import.meta.glob<string>('/src/**/*.{vue,ts}', { query: '?raw', import: 'default', eager: true })).join('\n')
  const unused = keysOf(en).filter(key => {
    const stem = key.slice(0, key.lastIndexOf('.'))
    // Named in full, or put together from its group (`camera.state.${state}`) or its beginning (`menu.theme_${theme}`).
    const parts = [`'${key}'`, `\`${stem}.\${`, `\`${key.replace(/_\w+$/, '_')}\${`]
    return !parts.some(part => sources.includes(part))
  })
  expect(unused).toEqual([])
})

test('the language is the first wish that there is, else Indonesian', () => {
  expect(pickLocale([undefined, 'de-DE', 'en-GB', 'id'])).toBe('en')
  expect(pickLocale(['id-ID', 'en'])).toBe('id')
  expect(pickLocale(['fr'])).toBe('id')
})

test('failures slow the polling down, never beyond its slowest pace', () => {
  const pace = { everyMs: 10_000, mostMs: 120_000 }
  const middle = () => 0.5
  expect([0, 1, 2, 9].map(failures => nextWait(failures, pace, middle))).toEqual([10_000, 20_000, 40_000, 120_000])
  expect(nextWait(9, pace, () => 0)).toBe(96_000)
})

test('what was searched for is marked as it stands in the line', () => {
  expect(highlight('Camera gate: camera lost', 'camera')).toEqual([
    { text: 'Camera', found: true }, { text: ' gate: ', found: false }, { text: 'camera', found: true }, { text: ' lost', found: false },
  ])
  expect(highlight('a (b) c', '(b)').map(piece => piece.found)).toEqual([false, true, false])
  expect(highlight('line', ' ')).toEqual([{ text: 'line', found: false }])
})

test('a range ends now, or is what was typed on the clock of the site', () => {
  const now = Date.parse('2026-11-22T03:00:00Z')
  expect(rangeBounds('15m', undefined, undefined, 'UTC', now)).toEqual({ from: '2026-11-22T02:45:00.000Z' })
  expect(rangeBounds('custom', '2026-11-22T08:00', undefined, 'Asia/Jakarta', now)).toEqual({ from: '2026-11-22T01:00:00.000Z' })
})

test('a severity stands for itself and all graver ones', () => {
  expect(atLeast('err')).toEqual(['emerg', 'alert', 'crit', 'err'])
})
