import { Page } from '../parts/Page.tsx'

export default function LeavesPage() {
  return <Page path="leaves">{null}</Page>
}
