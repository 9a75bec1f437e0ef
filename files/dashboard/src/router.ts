import { createRouter, createWebHistory } from 'vue-router'
import { afterLogin } from '@/lib/after_login'
import ClipsPage from '@/pages/ClipsPage.vue'
import LoginPage from '@/pages/LoginPage.vue'
import LogsPage from '@/pages/LogsPage.vue'
import MissingPage from '@/pages/MissingPage.vue'
import StatusPage from '@/pages/StatusPage.vue'
import { useSession } from '@/stores/session'

/**
 * The pages; all but the login page need a session.
 * They come in one piece (about 15 of 110 kB compressed): going to a page asks a bad link for nothing more
 * than data, and works in a window that was opened before the dashboard was upgraded.
 */
export function makeRouter() {
  const router = createRouter({
    history: createWebHistory(),
    scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
    routes: [
      { path: '/', redirect: { name: 'status' } },
      { path: '/login', name: 'login', component: LoginPage, meta: { open: true } },
      { path: '/status', name: 'status', component: StatusPage },
      { path: '/clips', name: 'clips', component: ClipsPage },
      { path: '/logs', name: 'logs', component: LogsPage },
      { path: '/:rest(.*)*', name: 'missing', component: MissingPage },
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
