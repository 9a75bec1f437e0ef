import { expect, test } from 'vitest'
import type { Camera, Disk } from '@/api/types'
import { cameraTally, nodeTally, problemsOf } from '@/lib/health'
import { diskOf, node, site } from './samples'

const camera = (name: string, state: Camera['state']): Camera =>
  ({ name, state, since: '2026-11-22T02:00:00Z', last_frame_at: null, last_clip_at: null, error: null })

const disk = (state: Disk['state']): Disk => diskOf({ state })

test('a lost camera and a filling disk need attention, a quiet camera does not', () => {
  const sites = [site([node({ disk: disk('warn'), cameras: [camera('gate', 'quiet'), camera('yard', 'lost')] })])]
  expect(problemsOf(sites).map(problem => problem.kind)).toEqual(['camera', 'disk'])
})

test('a log buffer that fills up needs attention', () => {
  const buffer = { name: 'loki', lines: 9, used_bytes: 85, size_bytes: 100, dropped: 0 }
  const buffers = [{ ...buffer, state: 'warn' as const }, { ...buffer, name: 'elasticsearch', state: 'ok' as const }]
  const sites = [site([node({ logs: { buffers, datagrams_dropped: 0, reported_at: '2026-11-22T03:00:00Z' } })])]
  expect(problemsOf(sites)).toMatchObject([{ kind: 'logs', buffer: { name: 'loki' } }])
})

test('of a silent node only its silence is told', () => {
  const sites = [site([node({ online: false, disk: disk('critical'), cameras: [camera('yard', 'lost')] })])]
  expect(problemsOf(sites).map(problem => problem.kind)).toEqual(['node'])
})

test('cameras of a silent node, and those never reported, do not count as well', () => {
  const sites = [site([
    node({ cameras: [camera('gate', 'recording'), camera('yard', 'unknown')] }),
    node({ name: 'node-b', online: false, cameras: [camera('shop', 'quiet')] }),
  ])]
  expect(cameraTally(sites)).toEqual({ good: 1, all: 3 })
  expect(nodeTally(sites)).toEqual({ good: 1, all: 2 })
})
