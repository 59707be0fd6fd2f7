import { Page } from '../parts/Page.tsx'

export default function StatusPage() {
  return <Page path="status">{null}</Page>
}
