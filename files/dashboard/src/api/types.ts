/** Short names for what the hub sends; the shapes are generated from its OpenAPI document (`npm run types`). */

import type { components } from './schema'

type Schemas = components['schemas']

export type User = Schemas['SessionAnswer']
export type Site = Schemas['SiteAnswer']
export type Node = Schemas['NodeAnswer']
export type Router = Schemas['RouterAnswer']
export type Camera = Schemas['CameraAnswer']
export type CameraState = Camera['state']
export type Disk = Schemas['DiskAnswer']
export type LogBuffer = Schemas['LogBufferAnswer']
export type Clip = Schemas['ClipAnswer']
export type Gap = Schemas['GapAnswer']
export type LogLine = Schemas['LogLineAnswer']
