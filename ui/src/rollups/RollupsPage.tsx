import { Page } from '../parts/Page.tsx'

export default function RollupsPage() {
  return <Page path="rollups">{null}</Page>
}
