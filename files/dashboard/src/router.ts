import { createRouter, createWebHistory, type RouteLocationRaw } from 'vue-router'
import { useSession } from '@/stores/session'

/** Where to go after logging in: only a path of this page, never another site's address. */
export function afterLogin(next: unknown): RouteLocationRaw {
  return typeof next === 'string' && /^\/(?![/\\])/.test(next) ? next : { name: 'status' }
}

/** The pages; all but the login page need a session. */
export function makeRouter() {
  const router = createRouter({
    history: createWebHistory(),
    scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
    routes: [
      { path: '/', redirect: { name: 'status' } },
      { path: '/login', name: 'login', component: () => import('@/pages/LoginPage.vue'), meta: { open: true } },
      { path: '/status', name: 'status', component: () => import('@/pages/StatusPage.vue') },
      { path: '/clips', name: 'clips', component: () => import('@/pages/ClipsPage.vue') },
      { path: '/logs', name: 'logs', component: () => import('@/pages/LogsPage.vue') },
      { path: '/:rest(.*)*', name: 'missing', component: () => import('@/pages/MissingPage.vue') },
    ],
  })

  router.beforeEach(async to => {
    const session = useSession()
    if (!session.asked) await session.restore()
    if (session.user === null && !to.meta.open) return { name: 'login', query: { next: to.fullPath } }
    if (session.user !== null && to.name === 'login') return afterLogin(to.query.next)
    return true
  })
  return router
}
