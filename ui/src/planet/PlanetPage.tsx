import { Page } from '../parts/Page.tsx'

export default function PlanetPage() {
  return <Page path="planet">{null}</Page>
}
