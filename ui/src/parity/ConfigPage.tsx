import { Page } from '../parts/Page.tsx'

export default function ConfigPage() {
  return <Page path="config">{null}</Page>
}
