import { expect, test } from 'vitest'
import { sharesOf } from '@/lib/disk'
import { days } from '@/lib/format'
import { diskOf } from './samples'

const use = (bytes: number) => ({ bytes, clips: 1, oldest: null })

test('the bar is as long as the disk is full, with the classes and all other files in it', () => {
  const shares = sharesOf(diskOf({ classes: { motion: use(60), pinned: use(10), object: use(0) } }))
  expect(shares.map(({ name, bytes, percent }) => [name, bytes, percent])).toEqual([['pinned', 10, 10], ['motion', 60, 60], ['other', 20, 20]])
})

test('a disk of a node of an earlier release is one share', () => {
  expect(sharesOf(diskOf()).map(share => share.name)).toEqual(['other'])
})

test('classes that are told larger than what is in use do not make the bar longer', () => {
  const shares = sharesOf(diskOf({ classes: { object: use(80), continuous: use(500) } }))
  expect(shares.map(share => share.percent)).toEqual([80, 10])
})

test('days are told with a decimal only while there are few', () => {
  expect([days(2.46, 'en-GB'), days(22.4, 'en-GB'), days(2.5, 'id-ID')]).toEqual(['2.5 days', '22 days', '2,5 hari'])
})
