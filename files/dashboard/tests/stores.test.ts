import { createPinia, setActivePinia } from 'pinia'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import * as client from '@/api/client'
import { ApiError } from '@/api/errors'
import { useFootage } from '@/composables/footage'
import { afterLogin } from '@/lib/after_login'
import { useSession } from '@/stores/session'
import { useSites } from '@/stores/sites'
import { clip, node, site } from './samples'

vi.mock('@/api/client')
const api = vi.mocked(client)
const signal = new AbortController().signal
const camera = (name: string) =>
  ({ name, state: 'quiet' as const, since: null, last_frame_at: null, last_clip_at: null, error: null })

beforeEach(() => {
  setActivePinia(createPinia())
  vi.resetAllMocks()
})

describe('the session', () => {
  test('is found again after a reload', async () => {
    api.getSession.mockResolvedValue({ name: 'guard', role: 'viewer' })
    const session = useSession()
    await session.restore()
    expect(session.user?.name).toBe('guard')
  })
  test('is asked for again later when the hub was out of reach', async () => {
    api.getSession.mockRejectedValue(new ApiError('network', 0, 'down'))
    const session = useSession()
    await session.restore()
    expect(session.asked).toBe(false)
    expect(session.trouble).toMatchObject({ code: 'network' })
  })
  test('that ends by itself is told on the login page', async () => {
    api.logIn.mockResolvedValue({ name: 'guard', role: 'viewer' })
    const session = useSession()
    await session.logIn('guard', 'x')
    session.noticeFailure(new ApiError('not_logged_in', 401, ''))
    expect(session.user).toBeNull()
    expect(session.expired).toBe(true)
  })
  test('stays when the hub could not be told of its end', async () => {
    api.logIn.mockResolvedValue({ name: 'guard', role: 'viewer' })
    api.logOut.mockRejectedValue(new ApiError('network', 0, 'down'))
    const session = useSession()
    await session.logIn('guard', 'x')
    await expect(session.logOut()).rejects.toMatchObject({ code: 'network' })
    expect(session.user).not.toBeNull()
  })
})

test('after logging in one goes to a page of the dashboard, never to another site', () => {
  expect(afterLogin('/clips?site=site-a')).toBe('/clips?site=site-a')
  expect([afterLogin('https://evil.example'), afterLogin('//evil.example'), afterLogin('/\\evil.example'), afterLogin(undefined)])
    .toEqual(Array(4).fill({ name: 'status' }))
})

describe('the sites', () => {
  test('lend their zone to a page when they share it', async () => {
    api.getSites.mockResolvedValue({ items: [site([]), site([], { name: 'site-b' })] })
    const sites = useSites()
    await sites.load(signal)
    expect(sites.sharedZone).toBe('Asia/Jakarta')
  })
  test('have no common zone when they differ, and unknown ones count as UTC', async () => {
    api.getSites.mockResolvedValue({ items: [site([]), site([], { name: 'site-b', timezone: 'Asia/Makassar' })] })
    const sites = useSites()
    await sites.load(signal)
    expect(sites.sharedZone).toBeNull()
    expect(sites.zoneFor('site-b')).toBe('Asia/Makassar')
    expect(sites.zoneOf('gone')).toBe('UTC')
  })
  test('offer each camera name once', async () => {
    const nodes = [node({ cameras: [camera('yard'), camera('gate')] }), node({ name: 'node-b', cameras: [camera('gate')] })]
    api.getSites.mockResolvedValue({ items: [site(nodes)] })
    const sites = useSites()
    await sites.load(signal)
    expect(sites.camerasOf(undefined)).toEqual(['gate', 'yard'])
    expect(sites.camerasOf('site-b')).toEqual([])
  })
})

describe('the footage', () => {
  const page = (ids: number[], next: string | null) =>
    ({ items: ids.map(id => clip(id, `2026-11-22T0${id}:00:00Z`)), next })

  beforeEach(() => { api.getGaps.mockResolvedValue({ items: [], next: null }) })

  test('keeps older pages when new clips arrive', async () => {
    const footage = useFootage(() => ({}))
    api.getClips.mockResolvedValueOnce(page([5, 4], 'c4')).mockResolvedValueOnce(page([3, 2], null)).mockResolvedValueOnce(page([6, 5], 'c5'))
    await footage.loadNewest(signal)
    await footage.loadOlder(signal)
    await footage.loadNewest(signal)
    expect(footage.clips.value.map(one => one.id)).toEqual([6, 5, 4, 3, 2])
    expect(footage.next.value).toBeNull()
  })
  test('begins anew when so much is new that some would be missing between', async () => {
    const footage = useFootage(() => ({}))
    api.getClips.mockResolvedValueOnce(page([2, 1], null)).mockResolvedValueOnce(page([8, 7], 'c7'))
    await footage.loadNewest(signal)
    await footage.loadNewest(signal)
    expect(footage.clips.value.map(one => one.id)).toEqual([8, 7])
    expect(footage.next.value).toBe('c7')
  })
})
