import { Page } from '../parts/Page.tsx'

export default function AlertsPage() {
  return <Page path="alerts">{null}</Page>
}
